terraform {
  required_providers {
    harbor = { source = "goharbor/harbor", version = "~> 3.10" }
  }
}

variable "hub_token" { sensitive = true }

resource "harbor_registry" "hub" {
  provider_name = "docker-hub"
  name          = "hub"
  endpoint_url  = "https://hub.docker.com"
  access_id     = "mirror-bot"
  access_secret = var.hub_token
}

resource "harbor_registry" "quay" {
  provider_name = "docker-registry"
  name          = "quay"
  endpoint_url  = "https://quay.io"
}

resource "harbor_project" "mirror" {
  name                   = "mirror"
  public                 = false
  vulnerability_scanning = true
  storage_quota          = 200
  enable_content_trust   = true
}

resource "harbor_replication" "nginx" {
  name        = "nginx"
  action      = "pull"
  registry_id = harbor_registry.hub.registry_id
  schedule    = "0 0 2 * * *"
  override    = false

  dest_namespace         = "${harbor_project.mirror.name}"
  dest_namespace_replace = -1

  filters {
    name = "library/nginx"
  }
  filters {
    tag        = "*-rc*"
    decoration = "excludes"
  }
  filters {
    resource = "image"
  }
}

resource "harbor_replication" "collapsed" {
  name           = "prometheus"
  action         = "pull"
  registry_id    = harbor_registry.quay.registry_id
  schedule       = "Daily"
  dest_namespace = "mirror/quay"
  filters {
    name = "prometheus/prometheus"
    tag  = "v3.*"
  }
}

resource "harbor_replication" "fan_out" {
  name        = "fan-out"
  action      = "push"
  registry_id = harbor_registry.quay.registry_id
}

resource "harbor_replication" "many" {
  for_each       = toset(["redis", "postgres"])
  name           = each.key
  action         = "pull"
  registry_id    = harbor_registry.hub.registry_id
  dest_namespace = "mirror"
  filters {
    name = "library/${each.key}"
  }
}

resource "harbor_label" "release" {
  name = "release"
}
