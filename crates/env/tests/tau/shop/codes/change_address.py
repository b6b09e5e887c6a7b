def change_address(data, order_id, street, city):
    order = data["orders"].get(order_id)
    if order is None or order["status"] != "pending":
        return "Error: no pending order of that id"
    order["address"] = {"street": street, "city": city}
    return order
