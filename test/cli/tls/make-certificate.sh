#!/bin/sh
# Makes server.key and server.crt anew (OpenSSL 3). `ca` rather than `req -x509`, since that lets the past be chosen.
set -eu
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
touch "$scratch/index.txt"
cat > "$scratch/ca.cnf" <<CONFIGURATION
[req]
distinguished_name = name
prompt = no
[name]
CN = quartermaster test
[ca]
default_ca = here
[here]
database = $scratch/index.txt
new_certs_dir = $scratch
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = server
[any]
commonName = supplied
[server]
subjectAltName = DNS:localhost, IP:127.0.0.1
basicConstraints = critical, CA:TRUE
CONFIGURATION
openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out server.key
openssl req -new -key server.key -config "$scratch/ca.cnf" -out "$scratch/server.csr"
openssl ca -batch -notext -selfsign -config "$scratch/ca.cnf" -keyfile server.key -in "$scratch/server.csr" \
  -startdate 20200101000000Z -enddate 21200101000000Z -out server.crt
