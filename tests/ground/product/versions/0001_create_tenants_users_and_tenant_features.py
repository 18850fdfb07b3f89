"""Create tenants, users and tenant features.

Revision 0001, the first.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | tuple[str, ...] | None = None
branch_labels: str | tuple[str, ...] | None = None
depends_on: str | tuple[str, ...] | None = None


def upgrade() -> None:
    """Apply this revision."""
    op.execute(
        "CREATE OR REPLACE FUNCTION app.uuid7() RETURNS uuid LANGUAGE plpgsql VOLATILE PARALLEL SAFE AS $$\n"
        "DECLARE\n"
        "  microseconds pg_catalog.int8 := pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000000;\n"
        "BEGIN\n"
        "  RETURN pg_catalog.encode(\n"
        "    pg_catalog.substring(pg_catalog.int8send(microseconds / 1000), 3)\n"
        "      || pg_catalog.int2send((28672 + microseconds % 1000 * 4096 / 1000)::pg_catalog.int2)\n"
        "      || pg_catalog.substring(pg_catalog.uuid_send(pg_catalog.gen_random_uuid()), 9),\n"
        "    'hex')::pg_catalog.uuid;\n"
        "END $$"
    )
    op.execute(
        "CREATE OR REPLACE FUNCTION app.tenant_id() RETURNS uuid LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$\n"
        "DECLARE t pg_catalog.text := pg_catalog.current_setting('app.tenant_id', true);\n"
        "BEGIN\n"
        "  IF t IS NULL OR t OPERATOR(pg_catalog.=) '' THEN\n"
        "    RAISE EXCEPTION 'app.tenant_id is not set' USING ERRCODE = '42501'; END IF;\n"
        "  RETURN t::pg_catalog.uuid;\n"
        "END $$"
    )
    op.execute(
        "CREATE OR REPLACE FUNCTION app.set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$\n"
        "BEGIN\n"
        "  NEW.updated_at := pg_catalog.now();\n"
        "  RETURN NEW;\n"
        "END $$"
    )
    op.execute(
        "CREATE OR REPLACE FUNCTION app.keep_tenant_directory() RETURNS trigger LANGUAGE plpgsql\n"
        "  SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$\n"
        "BEGIN\n"
        "  INSERT INTO public.tenant_directory (tenant_id, slug, external_id)\n"
        "    VALUES (NEW.tenant_id, NEW.slug, NEW.external_id)\n"
        "    ON CONFLICT (tenant_id) DO UPDATE SET slug = EXCLUDED.slug, external_id = EXCLUDED.external_id;\n"
        "  RETURN NULL;\n"
        "END $$"
    )
    op.execute("REVOKE EXECUTE ON FUNCTION app.keep_tenant_directory() FROM PUBLIC")
    op.execute(
        "CREATE OR REPLACE FUNCTION app.resolve_tenant(by_slug text, by_external_id text) RETURNS uuid\n"
        "  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$\n"
        "BEGIN\n"
        "  RETURN (SELECT tenant_id FROM public.tenant_directory\n"
        "    WHERE slug = by_slug AND by_external_id IS NULL OR external_id = by_external_id AND by_slug IS NULL);\n"
        "END $$"
    )
    op.execute("REVOKE EXECUTE ON FUNCTION app.resolve_tenant(text, text) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION app.resolve_tenant(text, text) TO app_user")
    op.create_table(
        "tenants",
        sa.Column("tenant_id", sa.Uuid(), server_default=sa.text("app.uuid7()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("external_id", name=op.f("uq_tenants_external_id")),
        sa.UniqueConstraint("slug", name=op.f("uq_tenants_slug")),
    )
    op.execute('ALTER TABLE "tenants" ENABLE ROW LEVEL SECURITY')
    op.execute('ALTER TABLE "tenants" FORCE ROW LEVEL SECURITY')
    op.execute(
        'CREATE POLICY "tenant_permit" ON "tenants" AS PERMISSIVE FOR ALL\n'
        "  USING (tenant_id = (SELECT app.tenant_id()))\n"
        "  WITH CHECK (tenant_id = (SELECT app.tenant_id()))"
    )
    op.execute(
        'CREATE POLICY "tenant_restrict" ON "tenants" AS RESTRICTIVE FOR ALL\n'
        "  USING (tenant_id = (SELECT app.tenant_id()))\n"
        "  WITH CHECK (tenant_id = (SELECT app.tenant_id()))"
    )
    op.execute(
        'CREATE TRIGGER set_updated_at BEFORE UPDATE ON "tenants"\n  FOR EACH ROW EXECUTE FUNCTION app.set_updated_at()'
    )
    op.execute('GRANT SELECT, INSERT, UPDATE, DELETE ON "tenants" TO "app_user"')
    op.create_table(
        "tenant_directory",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_tenant_directory_tenant_id_tenants"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenant_directory")),
    )
    op.create_index(op.f("ix_tenant_directory_external_id"), "tenant_directory", ["external_id"], unique=False)
    op.create_index(op.f("ix_tenant_directory_slug"), "tenant_directory", ["slug"], unique=False)
    op.create_table(
        "tenant_features",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_tenant_features_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "feature", name=op.f("pk_tenant_features")),
    )
    op.execute('ALTER TABLE "tenant_features" ENABLE ROW LEVEL SECURITY')
    op.execute('ALTER TABLE "tenant_features" FORCE ROW LEVEL SECURITY')
    op.execute(
        'CREATE POLICY "tenant_permit" ON "tenant_features" AS PERMISSIVE FOR ALL\n'
        "  USING (tenant_id = (SELECT app.tenant_id()))\n"
        "  WITH CHECK (tenant_id = (SELECT app.tenant_id()))"
    )
    op.execute(
        'CREATE POLICY "tenant_restrict" ON "tenant_features" AS RESTRICTIVE FOR ALL\n'
        "  USING (tenant_id = (SELECT app.tenant_id()))\n"
        "  WITH CHECK (tenant_id = (SELECT app.tenant_id()))"
    )
    op.execute(
        'CREATE TRIGGER set_updated_at BEFORE UPDATE ON "tenant_features"\n'
        "  FOR EACH ROW EXECUTE FUNCTION app.set_updated_at()"
    )
    op.execute('GRANT SELECT, INSERT, UPDATE, DELETE ON "tenant_features" TO "app_user"')
    op.create_table(
        "users",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("app.uuid7()"), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), server_default="member", nullable=False),
        sa.CheckConstraint("role IN ('owner', 'admin', 'member')", name=op.f("ck_users_role")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_users_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_users")),
        sa.UniqueConstraint("tenant_id", "email", name=op.f("uq_users_tenant_id_email")),
        sa.UniqueConstraint("tenant_id", "external_id", name=op.f("uq_users_tenant_id_external_id")),
    )
    op.execute('ALTER TABLE "users" ENABLE ROW LEVEL SECURITY')
    op.execute('ALTER TABLE "users" FORCE ROW LEVEL SECURITY')
    op.execute(
        'CREATE POLICY "tenant_permit" ON "users" AS PERMISSIVE FOR ALL\n'
        "  USING (tenant_id = (SELECT app.tenant_id()))\n"
        "  WITH CHECK (tenant_id = (SELECT app.tenant_id()))"
    )
    op.execute(
        'CREATE POLICY "tenant_restrict" ON "users" AS RESTRICTIVE FOR ALL\n'
        "  USING (tenant_id = (SELECT app.tenant_id()))\n"
        "  WITH CHECK (tenant_id = (SELECT app.tenant_id()))"
    )
    op.execute(
        'CREATE TRIGGER set_updated_at BEFORE UPDATE ON "users"\n  FOR EACH ROW EXECUTE FUNCTION app.set_updated_at()'
    )
    op.execute('GRANT SELECT, INSERT, UPDATE, DELETE ON "users" TO "app_user"')
    op.execute(
        'CREATE TRIGGER "keep_directory" AFTER INSERT OR UPDATE ON "tenants"\n'
        "  FOR EACH ROW EXECUTE FUNCTION app.keep_tenant_directory()"
    )


def downgrade() -> None:
    """Take this revision back."""
    op.execute('DROP TRIGGER "keep_directory" ON "tenants"')
    op.drop_table("users")
    op.drop_table("tenant_features")
    op.drop_index(op.f("ix_tenant_directory_slug"), table_name="tenant_directory")
    op.drop_index(op.f("ix_tenant_directory_external_id"), table_name="tenant_directory")
    op.drop_table("tenant_directory")
    op.drop_table("tenants")
    op.execute("DROP FUNCTION app.resolve_tenant(text, text)")
    op.execute("DROP FUNCTION app.keep_tenant_directory()")
    op.execute("DROP FUNCTION app.set_updated_at()")
    op.execute("DROP FUNCTION app.tenant_id()")
    op.execute("DROP FUNCTION app.uuid7()")
