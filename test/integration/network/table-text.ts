/** The bridge driver's table of one family in nft's own language, for three networks: tsd0, an internal one, and one without icc and masquerade. */
export function tableText(table: string, family: 'ip' | 'ip6', [internal = '', apart = '']: string[]): string {
  const subnets = family === 'ip' ? ['172.31.0.0/16', '172.32.0.0/16', '172.33.0.0/16'] : ['fd00:1::/64', 'fd00:2::/64', 'fd00:3::/64']
  const address = family === 'ip' ? 'ipv4_addr' : 'ipv6_addr'
  const onlyIPv4 = (text: string): string => (family === 'ip' ? text : '')
  return `
table ${family} ${table} {
  set bridges { type ifname; elements = { "tsd0", "${internal}", "${apart}" } }
  set internal { type ifname; elements = { "${internal}" } }
  set pairs { type ifname . ifname; elements = { "tsd0" . "tsd0", "${internal}" . "${internal}" } }
  set subnets { type ${address}; flags interval; elements = { ${subnets.join(', ')} } }
  set masqueraded { type ${address}; flags interval; elements = { ${subnets[0]} } }
  map ports { type inet_proto . inet_service : ${address} . inet_service; }
  map hostports { type ${address} . inet_proto . inet_service : ${address} . inet_service; }
  chain published {
    dnat ${family} to ${family} daddr . meta l4proto . th dport map @hostports
    dnat ${family} to meta l4proto . th dport map @ports
  }
  chain allowed { meta mark set meta mark or 0x20000000 accept; }
  chain inbound {
    iifname . oifname @pairs goto allowed comment "within one bridge"
    oifname @internal drop
    iifname @internal drop
    ct state established,related goto allowed
    ct status dnat goto allowed comment "published ports"
    drop comment "nothing else reaches a container"
  }
  chain outbound {
    iifname @internal drop
    goto allowed
  }
  ${onlyIPv4(`chain raw {
    type filter hook prerouting priority -300; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop comment "route_localnet is for the host alone"
  }`)}
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    fib daddr type local jump published
  }
  chain output {
    type nat hook output priority -100; policy accept;
    ${family === 'ip6' ? 'ip6 daddr ::1 return' : ''}
    fib daddr type local jump published
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    ${onlyIPv4('oifname @bridges ip saddr 127.0.0.0/8 masquerade comment "from 127.0.0.1 to a published port"')}
    ct status dnat ${family} saddr @subnets ${family} daddr @subnets masquerade comment "container to published port"
    ${family} saddr @masqueraded oifname != @bridges masquerade
  }
  chain forward {
    type filter hook forward priority -10; policy accept;
    oifname @bridges goto inbound
    iifname @bridges goto outbound
  }
}
`
}
