"""The portal: what a reseller sees in a browser. One file of handlers for each subject, over the services of the rooms."""
