"""IAM roles and policies: kept so that others can name them; the laptop cloud does not enforce them."""

from __future__ import annotations

from typing import Any

from local.cloudformation.kinds.kind import Kind, Made, Order


def _make_role(order: Order) -> Made:
    name = order.name("RoleName")
    kept = order.without("RoleName", "ManagedPolicyArns", "Policies", "Tags")
    role = order.call("iam", "create_role", RoleName=name, Tags=order.tag_list(), **kept)["Role"]
    _grant(order, name)
    return Made(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})


def _grant(order: Order, role: str) -> None:
    for arn in order.properties.get("ManagedPolicyArns", []):
        order.call("iam", "attach_role_policy", RoleName=role, PolicyArn=arn)
    for policy in order.properties.get("Policies", []):
        order.call("iam", "put_role_policy", RoleName=role, **policy)


def _change_role(order: Order) -> Made:
    role = order.physical_id
    trust = order.properties["AssumeRolePolicyDocument"]
    order.call("iam", "update_assume_role_policy", RoleName=role, PolicyDocument=trust)
    changeable = {
        key: order.properties[key] for key in ("Description", "MaxSessionDuration") if key in order.properties
    }
    order.call("iam", "update_role", RoleName=role, **changeable)
    for arn in set(order.before.get("ManagedPolicyArns", [])) - set(order.properties.get("ManagedPolicyArns", [])):
        order.call("iam", "detach_role_policy", RoleName=role, PolicyArn=arn)
    for name in _names(order.before.get("Policies", [])) - _names(order.properties.get("Policies", [])):
        order.call("iam", "delete_role_policy", RoleName=role, PolicyName=name)
    _grant(order, role)
    return Made(role, order.attributes)


def _names(policies: list[dict[str, Any]]) -> set[str]:
    return {policy["PolicyName"] for policy in policies}


def _remove_role(order: Order) -> None:
    role = order.physical_id
    for policy in order.call("iam", "list_attached_role_policies", RoleName=role)["AttachedPolicies"]:
        order.call("iam", "detach_role_policy", RoleName=role, PolicyArn=policy["PolicyArn"])
    for name in order.call("iam", "list_role_policies", RoleName=role)["PolicyNames"]:
        order.call("iam", "delete_role_policy", RoleName=role, PolicyName=name)
    order.call("iam", "delete_role", RoleName=role)


_HOLDERS = (("Roles", "role", "RoleName"), ("Users", "user", "UserName"), ("Groups", "group", "GroupName"))


def _put_policy(order: Order) -> Made:
    policy = {"PolicyName": order.properties["PolicyName"], "PolicyDocument": order.properties["PolicyDocument"]}
    for property, holder, argument in _HOLDERS:
        for name in order.properties.get(property, []):
            order.call("iam", f"put_{holder}_policy", **{argument: name}, **policy)
        for name in set(order.before.get(property, [])) - set(order.properties.get(property, [])):
            order.call("iam", f"delete_{holder}_policy", **{argument: name}, PolicyName=policy["PolicyName"])
    return Made(order.physical_id or order.name("", 60), {}, policy["PolicyName"])


def _remove_policy(order: Order) -> None:
    for property, holder, argument in _HOLDERS:
        for name in order.properties.get(property, []):
            order.call("iam", f"delete_{holder}_policy", **{argument: name}, PolicyName=order.properties["PolicyName"])


def _make_managed_policy(order: Order) -> Made:
    name = order.name("ManagedPolicyName", 128)
    kept = order.without("ManagedPolicyName", "Roles", "Users", "Groups")
    arn = order.call("iam", "create_policy", PolicyName=name, **kept)["Policy"]["Arn"]
    _attach(order, arn)
    return Made(arn, {"PolicyArn": arn})


def _attach(order: Order, arn: str) -> None:
    for property, holder, argument in _HOLDERS:
        for name in order.properties.get(property, []):
            order.call("iam", f"attach_{holder}_policy", **{argument: name}, PolicyArn=arn)
        for name in set(order.before.get(property, [])) - set(order.properties.get(property, [])):
            order.call("iam", f"detach_{holder}_policy", **{argument: name}, PolicyArn=arn)


def _change_managed_policy(order: Order) -> Made:
    arn = order.physical_id
    for version in order.call("iam", "list_policy_versions", PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            order.call("iam", "delete_policy_version", PolicyArn=arn, VersionId=version["VersionId"])
    document = order.properties["PolicyDocument"]
    order.call("iam", "create_policy_version", PolicyArn=arn, PolicyDocument=document, SetAsDefault=True)
    _attach(order, arn)
    return Made(arn, order.attributes)


def _remove_managed_policy(order: Order) -> None:
    for property, holder, argument in _HOLDERS:
        for name in order.properties.get(property, []):
            order.call("iam", f"detach_{holder}_policy", **{argument: name}, PolicyArn=order.physical_id)
    order.call("iam", "delete_policy", PolicyArn=order.physical_id)


KINDS = {
    "AWS::IAM::Role": Kind(_make_role, _remove_role, _change_role, frozenset({"RoleName", "Path"})),
    "AWS::IAM::Policy": Kind(_put_policy, _remove_policy, _put_policy, frozenset({"PolicyName"})),
    "AWS::IAM::ManagedPolicy": Kind(
        _make_managed_policy, _remove_managed_policy, _change_managed_policy, frozenset({"ManagedPolicyName", "Path"})
    ),
}
