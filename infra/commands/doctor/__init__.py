"""Look at everything that `up` needs, with the functions that `up` itself uses, and say what is wrong."""
