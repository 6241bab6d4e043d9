"""Real hosts to deploy to, on one machine: systemd, sshd and room for their own Docker engine.

Used by scripts/sandbox and by every molecule scenario. Standard library only, because it runs before the virtual
environment exists.
"""
