"""A connector of a company that no sandbox imitates: tests install it beside the product's own."""

UNSAID = {"fresh": ("",)}
