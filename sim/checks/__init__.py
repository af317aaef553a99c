"""What is verified after every block."""
