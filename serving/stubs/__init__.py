"""What protoc makes of proto/finntelligence/v1/offers.proto; `make protos` makes it anew."""
