/** The bridge driver's table in nft's own language, for three networks: tsd0, an internal one, and one without icc and masquerade. */
export function tableText(table: string, [internal = '', apart = '']: string[]): string {
  return `
table ip ${table} {
  set bridges { type ifname; elements = { "tsd0", "${internal}", "${apart}" } }
  set internal { type ifname; elements = { "${internal}" } }
  set pairs { type ifname . ifname; elements = { "tsd0" . "tsd0", "${internal}" . "${internal}" } }
  set subnets { type ipv4_addr; flags interval; elements = { 172.31.0.0/16, 172.32.0.0/16, 172.33.0.0/16 } }
  set masqueraded { type ipv4_addr; flags interval; elements = { 172.31.0.0/16 } }
  map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map hostports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
  chain published {
    dnat ip to ip daddr . meta l4proto . th dport map @hostports
    dnat ip to meta l4proto . th dport map @ports
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
  chain raw {
    type filter hook prerouting priority -300; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop comment "route_localnet is for the host alone"
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    fib daddr type local jump published
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump published
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    oifname @bridges ip saddr 127.0.0.0/8 masquerade comment "from 127.0.0.1 to a published port"
    ct status dnat ip saddr @subnets ip daddr @subnets masquerade comment "container to published port"
    ip saddr @masqueraded oifname != @bridges masquerade
  }
  chain forward {
    type filter hook forward priority -10; policy accept;
    oifname @bridges goto inbound
    iifname @bridges goto outbound
  }
}
`
}
