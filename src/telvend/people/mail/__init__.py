"""The outbox of e-mails: written with what causes them, sent by SMTP, or kept where no mail server is set up."""
