"""How a host that the toolkit has set up stands against CIS benchmarks and Lynis, and why it differs where it does."""
