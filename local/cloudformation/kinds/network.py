"""Networks of EC2: on the laptop they name a place and keep nothing out."""

from __future__ import annotations

from typing import Any

from local.cloudformation.kinds.kind import Kind, Made, Order, keep


def _make_network(order: Order) -> Made:
    block = order.properties["CidrBlock"]
    identity = order.call("ec2", "create_vpc", CidrBlock=block)["Vpc"]["VpcId"]
    return Made(identity, {"VpcId": identity, "CidrBlock": block})


def _remove_network(order: Order) -> None:
    order.call("ec2", "delete_vpc", VpcId=order.physical_id)


def _make_subnet(order: Order) -> Made:
    kept = {key: order.properties[key] for key in ("VpcId", "CidrBlock", "AvailabilityZone")}
    identity = order.call("ec2", "create_subnet", **kept)["Subnet"]["SubnetId"]
    return Made(identity, {"SubnetId": identity, **kept})


def _remove_subnet(order: Order) -> None:
    order.call("ec2", "delete_subnet", SubnetId=order.physical_id)


def _make_group(order: Order) -> Made:
    name = order.name("GroupName", 255)
    said = {"Description": order.properties["GroupDescription"], "VpcId": order.properties["VpcId"]}
    identity = order.call("ec2", "create_security_group", GroupName=name, **said)["GroupId"]
    for direction in ("Ingress", "Egress"):
        for rule in order.properties.get(f"SecurityGroup{direction}", []):
            _allow(order, direction, identity, rule)
    return Made(identity, {"GroupId": identity, "Id": identity, "VpcId": order.properties["VpcId"]})


def _allow(order: Order, direction: str, group: str, rule: dict[str, Any]) -> None:
    allowed: dict[str, Any] = {key: rule[key] for key in ("IpProtocol", "FromPort", "ToPort") if key in rule}
    if source := rule.get("SourceSecurityGroupId") or rule.get("DestinationSecurityGroupId"):
        allowed["UserIdGroupPairs"] = [{"GroupId": source}]
    if block := rule.get("CidrIp"):
        allowed["IpRanges"] = [{"CidrIp": block}]
    operation = f"authorize_security_group_{direction.lower()}"
    order.call("ec2", operation, GroupId=group, IpPermissions=[allowed])


def _make_ingress(order: Order) -> Made:
    _allow(order, "Ingress", order.properties["GroupId"], order.properties)
    identity = order.name("", 60)
    return Made(identity, {"Id": identity})


def _remove_group(order: Order) -> None:
    order.call("ec2", "delete_security_group", GroupId=order.physical_id)


def _make_flow_log(order: Order) -> Made:
    kept = order.without("ResourceId", "Tags")
    made = order.call("ec2", "create_flow_logs", ResourceIds=[order.properties["ResourceId"]], **kept)
    return Made(made["FlowLogIds"][0], {"Id": made["FlowLogIds"][0]})


def _remove_flow_log(order: Order) -> None:
    order.call("ec2", "delete_flow_logs", FlowLogIds=[order.physical_id])


KINDS = {
    "AWS::EC2::VPC": Kind(_make_network, _remove_network),
    "AWS::EC2::Subnet": Kind(_make_subnet, _remove_subnet),
    "AWS::EC2::SecurityGroup": Kind(_make_group, _remove_group),
    "AWS::EC2::SecurityGroupIngress": Kind(_make_ingress, keep),  # it goes with its group
    "AWS::EC2::FlowLog": Kind(_make_flow_log, _remove_flow_log),
}
