"""The composition root: configuration to opened drivers to engine. The only package that names drivers."""
