"""What init and doctor look for: virtual machines, images, snapshot tools."""
