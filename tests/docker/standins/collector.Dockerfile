# In place of otel/opentelemetry-collector-contrib: the collector of the interop tests under that image's names.
FROM scratch
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY otelcol-contrib /otelcol-contrib
ENTRYPOINT ["/otelcol-contrib"]
