"""The defences of isolation, removed one at a time: each removal must turn a test red (`invoke mutate`)."""
