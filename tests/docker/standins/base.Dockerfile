# In place of python:…-slim and debian:…-slim: a small Debian with Python, wget as nats:2-alpine has it, and the host's CA
# bundle, so that pip gets out.
ARG ROOT_IMAGE
FROM ${ROOT_IMAGE}
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# hadolint ignore=DL3008
RUN command -v wget || (apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/*) \
 && (command -v python || ln -s python3 /usr/bin/python)
