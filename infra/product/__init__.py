"""Yours: the commands, dependencies and CI of the product. No update of the ground touches this folder."""
