"""Who is this, among a million? MegaFace and TinyFace."""
