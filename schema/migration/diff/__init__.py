"""The difference between what the migrations make and what the models declare, as operations."""
