"""The proof that no tenant can see another: what the database's catalogue says, and what attacks on a clone achieve."""
