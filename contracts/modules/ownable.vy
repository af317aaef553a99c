# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Two-step ownership
@license Apache-2.0
@notice An owner, and a pending owner who has to accept.
@custom:security A transfer to a wrong address changes nothing until that address accepts;
                 ownership cannot be renounced.
"""


event OwnershipTransferStarted:
    owner: indexed(address)
    pending: indexed(address)


event OwnershipTransferred:
    previous: indexed(address)
    owner: indexed(address)


owner: public(address)
pending_owner: public(address)


@deploy
def __init__(owner: address):
    assert owner != empty(address), "ownable: zero owner"
    self.owner = owner
    log OwnershipTransferred(previous=empty(address), owner=owner)


@external
def transfer_ownership(pending: address):
    """
    @notice Offer ownership to `pending`; the zero address withdraws the offer.
    """
    self._check_owner()
    self.pending_owner = pending
    log OwnershipTransferStarted(owner=self.owner, pending=pending)


@external
def accept_ownership():
    """
    @notice Take the ownership that was offered to the caller.
    """
    assert msg.sender == self.pending_owner, "ownable: not pending owner"
    previous: address = self.owner
    self.owner = msg.sender
    self.pending_owner = empty(address)
    log OwnershipTransferred(previous=previous, owner=msg.sender)


@internal
@view
def _check_owner():
    assert msg.sender == self.owner, "ownable: not owner"
