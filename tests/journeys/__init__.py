"""The main job, end to end: real web server, real database, the make-believe telephone network."""
