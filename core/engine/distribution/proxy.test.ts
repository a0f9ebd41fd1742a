import test from 'ava'
import { proxyFor } from './proxy.js'

test('which proxy a registry is asked through', (t) => {
  const environment = {
    HTTPS_PROXY: 'http://secure.proxy:1',
    http_proxy: 'plain.proxy:2',
    NO_PROXY: 'a.example, .b.example c.example:5000,10.0.0.1',
  }
  const expected: Record<string, string | undefined> = {
    'https://registry.example/v2/': 'http://secure.proxy:1',
    'http://registry.example/v2/': 'http://plain.proxy:2',
    'https://a.example/': undefined,
    'https://sub.a.example/': undefined,
    'https://nota.example/': 'http://secure.proxy:1',
    'https://x.b.example/': undefined,
    'https://c.example:5000/': undefined,
    'https://c.example/': 'http://secure.proxy:1',
    'https://10.0.0.1/': undefined,
    'http://127.0.0.1:5000/': undefined,
    'https://localhost/': undefined,
    'https://[::1]:5000/': undefined,
  }
  for (const [url, proxy] of Object.entries(expected)) t.is(proxyFor(new URL(url), environment), proxy, url)
  t.is(proxyFor(new URL('https://x.example'), { ...environment, NO_PROXY: '*' }), undefined)
  t.is(proxyFor(new URL('https://x.example'), {}), undefined)
})
