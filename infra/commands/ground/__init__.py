"""A checkout made a product's own, and updates of the ground that it began from."""
