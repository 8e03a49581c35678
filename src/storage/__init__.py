"""DynamoDB: keys, queries, paging and stored documents."""
