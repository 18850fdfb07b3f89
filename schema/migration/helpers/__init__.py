"""What migration files import; it imports no model."""
