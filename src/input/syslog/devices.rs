//! What devices and programs of the field send, one message each, and what is made of it.

use super::header::tests::shown;

#[test]
fn devices_are_understood() {
    let mut wrong = String::new();
    for (text, expected) in SAMPLES {
        let shown = shown(text.as_bytes());
        if shown != *expected {
            wrong.push_str(&format!("{text}\n  is  {shown}\n  not {expected}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

const SAMPLES: &[(&str, &str)] = &[
    // RFC 3164's own
    (
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        "4.2 time=Oct 11 22:14:15 host=mymachine app=su | \\'su root\\' failed for lonvick on /dev/pts/8",
    ),
    ("<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!", "1.5 time=Feb  5 17:32:18 host=10.0.0.99 | Use the BFG!"),
    ("Use the BFG!", "1.5 NoPriority | Use the BFG!"),
    // Docker
    (
        "<30>Nov 22 22:53:00 840771ea7ba9[7025]: a\tb  ",
        "3.6 time=Nov 22 22:53:00 app=840771ea7ba9 pid=7025 | a\\tb  ",
    ),
    (
        "<30>Nov 22 22:53:00 840771ea7ba9[7025]:   lead: x[1]: y",
        "3.6 time=Nov 22 22:53:00 app=840771ea7ba9 pid=7025 |   lead: x[1]: y",
    ),
    (
        "<142>Nov 22 22:54:33 vm my tag[7025]: tagged",
        "17.6 time=Nov 22 22:54:33 host=vm app=my tag pid=7025 | tagged",
    ),
    (
        "<30>Nov 22 22:54:33 web/busybox:local[7025]: {\"a\": 1}",
        "3.6 time=Nov 22 22:54:33 app=web/busybox:local pid=7025 | {\\\"a\\\": 1}",
    ),
    ("<30>Nov 22 22:54:33 vm a[b]=c[7025]: t", "3.6 time=Nov 22 22:54:33 host=vm app=a[b]=c pid=7025 | t"),
    // local programs: no host name
    ("<13>Nov 22 22:53:00 root: hello", "1.5 time=Nov 22 22:53:00 app=root | hello"),
    ("<13>Nov 22 22:53:00 root:hello world", "1.5 time=Nov 22 22:53:00 app=root | hello world"),
    (
        "<30>Nov 22 22:53:00 systemd[1]: Started Session 1 of user root.",
        "3.6 time=Nov 22 22:53:00 app=systemd pid=1 | Started Session 1 of user root.",
    ),
    (
        "<78>Nov 22 22:53:00 CRON[412]: (root) CMD (true)",
        "9.6 time=Nov 22 22:53:00 app=CRON pid=412 | (root) CMD (true)",
    ),
    (
        "<86>Nov 22 22:53:00 (sd-pam)[9]: pam_unix(systemd-user:session): closed",
        "10.6 time=Nov 22 22:53:00 app=(sd-pam) pid=9 | pam_unix(systemd-user:session): closed",
    ),
    // rsyslog, syslog-ng
    (
        "<13>2026-11-22T22:53:11.123456+08:00 web1 postfix/smtpd[123]: connect from x",
        "1.5 time=2026-11-22T22:53:11.123456+08:00 host=web1 app=postfix/smtpd pid=123 | connect from x",
    ),
    (
        "2026-11-22T22:53:11.123456+08:00 web1 kernel: [1.0] eth0: up",
        "1.5 time=2026-11-22T22:53:11.123456+08:00 host=web1 app=kernel NoPriority | [1.0] eth0: up",
    ),
    (
        "<38>Nov 22 22:53:00 s_net@web1/10.0.0.1 sshd[5]: Accepted",
        "4.6 time=Nov 22 22:53:00 host=s_net@web1/10.0.0.1 app=sshd pid=5 | Accepted",
    ),
    (
        "<46>Nov 22 22:53:00 2001:db8::1 rsyslogd: start",
        "5.6 time=Nov 22 22:53:00 host=2001:db8::1 app=rsyslogd | start",
    ),
    ("<46>Nov 22 22:53:00 2001:db8::1 no tag", "5.6 time=Nov 22 22:53:00 host=2001:db8::1 | no tag"),
    (
        "<13>Nov 22 22:53:00 host last message repeated 2 times",
        "1.5 time=Nov 22 22:53:00 host=host | last message repeated 2 times",
    ),
    ("<13>Nov 22 22:53:00 - app: x", "1.5 time=Nov 22 22:53:00 app=app | x"),
    // Cisco IOS, NX-OS, ASA
    (
        "<189>237: *Nov 22 22:53:00.123: %SYS-5-CONFIG_I: Configured from console by vty0",
        "23.5 time=Nov 22 22:53:00.123 seq=237 app=%SYS-5-CONFIG_I | Configured from console by vty0",
    ),
    (
        "<189>237: 000241: core1: Nov 22 22:53:00.123 UTC: %SYS-5-CONFIG_I: x",
        "23.5 time=Nov 22 22:53:00.123 UTC seq=000241 host=core1 app=%SYS-5-CONFIG_I | x",
    ),
    (
        "<189>: 2026 Nov 22 22:53:00 UTC: %ETHPORT-5-IF_UP: Interface up",
        "23.5 time=2026 Nov 22 22:53:00 UTC app=%ETHPORT-5-IF_UP | Interface up",
    ),
    (
        "<166>Nov 22 2026 22:53:00: %ASA-6-302013: Built outbound TCP",
        "20.6 time=Nov 22 2026 22:53:00 app=%ASA-6-302013 | Built outbound TCP",
    ),
    (
        "<166>Nov 22 2026 22:53:00 asa01 : %ASA-6-302013: Built",
        "20.6 time=Nov 22 2026 22:53:00 host=asa01 app=%ASA-6-302013 | Built",
    ),
    (
        "<166>:Nov 22 22:53:00 UTC: %ASA-session-6-1: x",
        "20.6 time=Nov 22 22:53:00 UTC app=%ASA-session-6-1 | x",
    ),
    ("<166>%ASA-6-302013: Built", "20.6 | %ASA-6-302013: Built"),
    // Juniper
    (
        "<165>Nov 22 22:53:00 mx1 mgd[3046]: UI_DBASE_LOGOUT_EVENT: User 'root' exiting",
        "20.5 time=Nov 22 22:53:00 host=mx1 app=mgd pid=3046 | UI_DBASE_LOGOUT_EVENT: User \\'root\\' exiting",
    ),
    (
        "<14>1 2026-11-22T22:53:00.123+02:00 srx RT_FLOW - RT_FLOW_SESSION_CREATE [junos@2636.1.1.1.2.26 source-address=\"10.0.0.1\"] session",
        "1.6 time=2026-11-22T22:53:00.123+02:00 host=srx app=RT_FLOW id=RT_FLOW_SESSION_CREATE sd=[junos@2636.1.1.1.2.26 source-address=\\\"10.0.0.1\\\"] | session",
    ),
    // Fortinet: no header at all
    (
        "<189>date=2026-11-22 time=22:53:00 devname=\"fg\" logid=\"1\" msg=\"a b\"",
        "23.5 | date=2026-11-22 time=22:53:00 devname=\\\"fg\\\" logid=\\\"1\\\" msg=\\\"a b\\\"",
    ),
    // pfSense, OPNsense
    (
        "<134>Nov 22 22:53:00 filterlog[4217]: 5,,,1000000103,igb0,match,block,in,4",
        "16.6 time=Nov 22 22:53:00 app=filterlog pid=4217 | 5,,,1000000103,igb0,match,block,in,4",
    ),
    (
        "<134>1 2026-11-22T22:53:00+00:00 opn filterlog 4217 - [meta sequenceId=\"1\"] 5,,,",
        "16.6 time=2026-11-22T22:53:00+00:00 host=opn app=filterlog pid=4217 sd=[meta sequenceId=\\\"1\\\"] | 5,,,",
    ),
    // HP ProCurve, Aruba
    (
        "<14> Nov 22 22:53:00 10.0.0.1 00076 ports: port 1 is now on-line",
        "1.6 time=Nov 22 22:53:00 host=10.0.0.1 | 00076 ports: port 1 is now on-line",
    ),
    (
        "<141>Nov 22 22:53:00 2026 ctrl stm[1234]: <501093> <NOTI> x",
        "17.5 time=Nov 22 22:53:00 2026 host=ctrl app=stm pid=1234 | <501093> <NOTI> x",
    ),
    // VMware ESXi
    (
        "<166>2026-11-22T22:53:11.123Z esxi01 Hostd: info hostd[2099] [Originator@6876 sub=Vimsvc] x",
        "20.6 time=2026-11-22T22:53:11.123Z host=esxi01 app=Hostd | info hostd[2099] [Originator@6876 sub=Vimsvc] x",
    ),
    (
        "<14>2026-11-22T22:53:11.123Z esxi01 vmkernel: cpu3:2097)ScsiDeviceIO: 1",
        "1.6 time=2026-11-22T22:53:11.123Z host=esxi01 app=vmkernel | cpu3:2097)ScsiDeviceIO: 1",
    ),
    // Synology, Ubiquiti, OpenWrt, macOS, Meraki
    (
        "<14>Nov 22 22:53:00 NAS Connection: User [admin] from [10.0.0.2] logged in",
        "1.6 time=Nov 22 22:53:00 host=NAS app=Connection | User [admin] from [10.0.0.2] logged in",
    ),
    (
        "<30>Nov 22 22:53:00 (\"U7LT,802aa8000000,v4.3.20\") hostapd: ath0: STA x",
        "3.6 time=Nov 22 22:53:00 host=(\\\"U7LT,802aa8000000,v4.3.20\\\") app=hostapd | ath0: STA x",
    ),
    (
        "<29>Nov 22 22:53:00 OpenWrt netifd: Interface 'lan' is now up",
        "3.5 time=Nov 22 22:53:00 host=OpenWrt app=netifd | Interface \\'lan\\' is now up",
    ),
    (
        "<5>Nov 22 22:53:00 mac-mini com.apple.xpc.launchd[1] (com.apple.foo): exited",
        "0.5 time=Nov 22 22:53:00 host=mac-mini app=com.apple.xpc.launchd pid=1 | (com.apple.foo): exited",
    ),
    (
        "<13>Nov 22 22:53:00 mac-mini --- last message repeated 1 time ---",
        "1.5 time=Nov 22 22:53:00 host=mac-mini | --- last message repeated 1 time ---",
    ),
    (
        "<134>1 1733266990.123456789 MX84 flows src=10.0.0.2",
        "16.6 time=1733266990.123456789 host=MX84 | flows src=10.0.0.2",
    ),
    // text that looks like a header
    (
        "<13>Nov 22 22:53:00 host {\"a\": \"b: c\"}",
        "1.5 time=Nov 22 22:53:00 host=host | {\\\"a\\\": \\\"b: c\\\"}",
    ),
    ("<13>Nov 22 22:53:00 {\"a\": 1}", "1.5 time=Nov 22 22:53:00 | {\\\"a\\\": 1}"),
    ("<13>Nov 22 22:53:00 hello", "1.5 time=Nov 22 22:53:00 | hello"),
    ("<13>Nov 22 22:53:00", "1.5 time=Nov 22 22:53:00 | "),
    ("<13>Nov 22 22:53:00x host app: t", "1.5 | Nov 22 22:53:00x host app: t"),
    ("<13>host app: no time", "1.5 | host app: no time"),
    ("<13>Nov 31 22:53:00 host app: no such day", "1.5 | Nov 31 22:53:00 host app: no such day"),
];
