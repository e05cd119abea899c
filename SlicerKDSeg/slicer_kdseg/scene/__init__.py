"""What a session means in MRML terms, for any host that has a scene; the scene is passed in."""
