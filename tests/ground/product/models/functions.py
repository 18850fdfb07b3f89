"""The product's own functions in the database, as the SQL that migrations carry: `declare_function(…)` for each."""
