# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Accounts
@license Apache-2.0
@notice Who owns an account and who else may act for it.
@dev Ids count up and are never reused. Account 0, the insurance fund, exists from the start and is
     nobody's.
@custom:security Only the owner can give or take SETTINGS, so that no operator can entrench itself.
@custom:kill Nothing here can be stopped.
"""
from interfaces import IClearingHouse


account_count: public(uint256)
owner_of: public(HashMap[uint256, address])
roles: public(HashMap[uint256, HashMap[address, IClearingHouse.Role]])


@deploy
def __init__():
    self.account_count = 1


@external
def grant(account: uint256, operator: address, roles: IClearingHouse.Role):
    """
    @notice Give an operator exactly these roles; for the owner, and for operators with SETTINGS, who
            give nothing that they do not hold and cannot give or take SETTINGS.
    """
    if msg.sender != self.owner_of[account]:
        settings: IClearingHouse.Role = IClearingHouse.Role.SETTINGS
        held: IClearingHouse.Role = self.roles[account][msg.sender]
        assert settings in held and roles & held == roles, "accounts: not allowed"
        assert settings not in roles and settings not in self.roles[account][operator], (
            "accounts: only the owner grants settings"
        )
    self.roles[account][operator] = roles
    log IClearingHouse.Granted(
        account=account, operator=operator, sender=msg.sender, roles=roles
    )


@external
@view
def may(account: uint256, actor: address, role: IClearingHouse.Role) -> bool:
    """
    @notice Whether the actor owns the account or holds all of `role`.
    """
    return self._may(account, actor, role)


@internal
def _open(owner: address) -> uint256:
    account: uint256 = self.account_count
    self.account_count = account + 1
    self.owner_of[account] = owner
    return account


@internal
@view
def _may(account: uint256, actor: address, role: IClearingHouse.Role) -> bool:
    return self.roles[account][actor] & role == role or self.owner_of[account] == actor


@internal
@view
def _is_operator(account: uint256, actor: address) -> bool:
    """
    @notice Whether the actor owns the account or holds any role.
    """
    return (
        self.owner_of[account] == actor
        or self.roles[account][actor] != empty(IClearingHouse.Role)
    )
