"""Tables, engine and migrations. SQL is the truth; Redis is only muscle."""
