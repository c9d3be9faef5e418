"""Will this session end in a purchase?"""
