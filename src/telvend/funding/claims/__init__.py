"""Payments that a reseller has made and no wallet has: claimed on a page, verified at the gateway, credited once or refused."""
