"""What the stack runs on: containers or plain processes, behind one protocol."""
