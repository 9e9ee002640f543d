"""Verification packs, `lfw.bin`, read without running what they hold."""
