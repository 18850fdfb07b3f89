"""The data model and its client: models, roles, engine, sessions, migrations. Knows neither Docker nor Redis."""
