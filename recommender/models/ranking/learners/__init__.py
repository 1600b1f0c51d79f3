"""What puts candidates in order: one interface, each learner in a file."""
