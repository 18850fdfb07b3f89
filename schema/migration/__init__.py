"""Migrations: written from the models, checked, applied and taken back."""
