# Builds the image from the package that `npm pack` makes, so that what runs is what is published.
#   npm pack && docker build -t logferry .
#   docker run -v /var/log/journal:/var/log/journal:ro -v /etc/machine-id:/etc/machine-id:ro -v logferry:/var/lib/logferry \
#     -v ./logferry.yaml:/etc/logferry.yaml:ro --group-add "$(getent group systemd-journal | cut -d: -f3)" logferry
FROM node:26-slim

# A user of its own: reading the journal takes membership of its group (--group-add), not root.
RUN useradd --system --uid 10001 --home-dir /var/lib/logferry --shell /usr/sbin/nologin logferry \
 && install -d -o logferry -g logferry -m 0700 /var/lib/logferry

COPY logferry-*.tgz /tmp/
RUN npm install --global --omit=dev /tmp/logferry-*.tgz && rm -rf /tmp/logferry-*.tgz /root/.npm

USER logferry
VOLUME /var/lib/logferry
ENV NODE_ENV=production
ENTRYPOINT ["logferry"]
CMD ["run", "--config", "/etc/logferry.yaml"]
