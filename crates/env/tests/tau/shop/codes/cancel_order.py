def cancel_order(data, order_id, reason):
    order = data["orders"].get(order_id)
    if order is None or order["status"] != "pending":
        return "Error: no pending order of that id"
    if reason not in ("no longer needed", "ordered by mistake"):
        return "Error: invalid reason"
    order["status"] = "cancelled"
    order["reason"] = reason
    if order["paid_by"] == "gift_card":
        user = data["users"][order["user"]]
        user["gift_card"] = round(user["gift_card"] + order["paid"], 2)
    return order
