"""Who signs in: people with passwords, sessions, second factors, roles and links; what they did; the e-mails that they are sent."""
