def list_products(data, product):
    return data["products"][product]
