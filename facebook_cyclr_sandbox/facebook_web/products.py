"""
The first page of an app: its use cases or products, and what is still required.
"""

from facebook_cyclr_sandbox.facebook_web.common import app_page, dashboard_router, find_app
from facebook_cyclr_sandbox.http.pages import MissingPageError, Visit, see_other
from facebook_cyclr_sandbox.http.web import Reply
from facebook_cyclr_sandbox.state.required_actions import required_actions

_PRODUCTS = {
    "facebook_login": "Facebook Login",
    "marketing_api": "Marketing API",
    "messenger": "Facebook Messenger",
    "webhooks": "Webhooks",
}


@dashboard_router.route("GET", "/apps/{app_id}")
def open_app(visit: Visit, app_id: str) -> Reply:
    """Redirect to the app's first page (graph §9)."""
    return see_other(f"/apps/{find_app(visit, app_id).id}/dashboard/")


@dashboard_router.route("GET", "/apps/{app_id}/dashboard")
def show_products(visit: Visit, app_id: str) -> Reply:
    """Show Add Products to Your App, or the use cases of an app that has them (graph §9)."""
    app = find_app(visit, app_id)
    actions = required_actions(app, visit.world.facebook.business)
    template = "products.html" if app.is_classic else "app_dashboard.html"
    return app_page(visit, app, template, products=_PRODUCTS, actions=actions)


@dashboard_router.route("POST", "/apps/{app_id}/products/{product}")
def set_up_product(visit: Visit, app_id: str, product: str) -> Reply:
    """Set a product up (graph §9)."""
    app = find_app(visit, app_id)
    if product not in _PRODUCTS:
        raise MissingPageError("There is no such product.")
    app.products.add(product)
    return see_other(f"/apps/{app.id}/dashboard/", f"{_PRODUCTS[product]} is added to your app.")
