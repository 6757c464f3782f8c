"""What the Pulumi program and mirrorctl share. Nothing in here knows Pulumi."""
