import test from 'ava'
import { listeners } from './socket-owner.js'

const table = `Num       RefCount Protocol Flags    Type St Inode Path
00000000bf0d22ce: 00000002 00000000 00010000 0001 01 356203 /run/tsd/tsd.sock.16428
0000000010e6eb61: 00000003 00000000 00000000 0001 03 365558 /run/tsd/tsd.sock.16428
00000000bf0d22cf: 00000002 00000000 00010000 0001 01 356999 /run/tsd/tsd.sock
00000000bf0d22d0: 00000002 00000000 00010000 0001 01 357000 /run/tsd/tsd.sock.old
00000000bf0d22d1: 00000002 00000000 00010000 0001 01 357001 /run/other.sock
`

test('listening sockets of a path, also those renamed into place, newest first', (t) => {
  t.deepEqual(listeners(table, '/run/tsd/tsd.sock'), ['356999', '356203'])
  t.deepEqual(listeners(table, '/run/tsd'), [])
})
