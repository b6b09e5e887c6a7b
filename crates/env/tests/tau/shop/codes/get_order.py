import json


def get_order(data, order_id):
    if order_id in data["orders"]:
        return json.dumps(data["orders"][order_id])
    return "Error: order not found"
