def exchange_item(data, order_id, item, new_item):
    order = data["orders"].get(order_id)
    if order is None or order["status"] != "delivered":
        return "Error: no delivered order of that id"
    if item not in order["items"]:
        return "Error: item not in the order"
    for variants in data["products"].values():
        if item in variants and variants.get(new_item, {}).get("in_stock"):
            order["items"].remove(item)
            order["items"].append(new_item)
            difference = round(variants[new_item]["price"] - variants[item]["price"], 2)
            order["exchanges"] = order.get("exchanges", 0) + 1
            return {"order": order, "difference": difference}
    return "Error: no such item of the same product in stock"
