"""What several rooms share, and no other part of the project needs."""
