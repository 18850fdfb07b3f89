"""The access matrix: which role may do what with which object, by which grant, and which policies apply."""
