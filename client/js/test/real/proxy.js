// A TCP proxy between a client and a server, which can be cut, frozen, reset or closed.
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

export class Proxy {
  #server = createServer((client) => this.#carry(client))
  #pairs = new Set()
  /** New connections are accepted, and go nowhere. */
  isFrozen = false
  /** New connections are reset. */
  isDown = false
  /** Connections that were accepted. */
  accepted = 0

  static async start(port) {
    const proxy = new Proxy()
    proxy.target = port
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    proxy.port = proxy.#server.address().port
    return proxy
  }

  get url() {
    return `ws://127.0.0.1:${this.port}`
  }

  get open() {
    return this.#pairs.size
  }

  #carry(client) {
    this.accepted++
    client.on('error', () => {})
    if (this.isDown) return client.resetAndDestroy()
    const upstream = connect(this.target, '127.0.0.1')
    const pair = { client, upstream, isFrozen: this.isFrozen }
    this.#pairs.add(pair)
    upstream.on('error', () => client.destroy())
    upstream.setNoDelay(true)
    client.setNoDelay(true)
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      from.on('data', (bytes) => pair.isFrozen || to.write(bytes))
      from.on('end', () => pair.isFrozen || to.end())
      from.on('close', () => {
        this.#pairs.delete(pair)
        if (!pair.isFrozen) to.destroy()
      })
    }
  }

  /** Every connection is reset, as by a router that lost its table. */
  reset() {
    for (const { client, upstream } of this.#pairs) {
      client.resetAndDestroy()
      upstream.resetAndDestroy()
    }
  }

  /** Every connection is closed, as by a load balancer that ends. */
  close() {
    for (const { client, upstream } of this.#pairs) {
      client.end()
      upstream.end()
    }
  }

  /** Every connection goes on existing, and nothing passes any more: half-open on both sides. */
  freeze() {
    for (const pair of this.#pairs) pair.isFrozen = true
  }

  async stop() {
    this.#server.close()
    for (const { client, upstream } of this.#pairs) {
      client.destroy()
      upstream.destroy()
    }
  }
}
