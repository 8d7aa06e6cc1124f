"""Those who keep the records of people: who they are to us, the built-in personas, and connectors to real ones."""
